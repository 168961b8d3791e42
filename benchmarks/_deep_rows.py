"""What the tables of deep clustering share."""

import numpy as np


def result_row(of, by, measure, results, fits, published=None):
    """A row of the table, which is printed, too: means over fits of (estimator, seconds)."""
    learner = fits[0][0]
    history = getattr(getattr(learner, "clusterer_", learner), "history_", [])
    nmi = [record["nmi"] for record in history[1:] if "nmi" in record]
    row = {
        "of": of,
        "by": by,
        "measure": measure,
        "result": round(float(np.mean(results)), 4),
        "over seeds": f"{min(results):.3f} to {max(results):.3f} ({len(results)})",
        "published": published,
        "nmi": f"{nmi[0]:.2f} to {nmi[-1]:.2f}" if nmi else None,
        "cpu": round(float(np.mean([seconds for _, seconds in fits])), 1),
    }
    print(row, flush=True)
    return row
