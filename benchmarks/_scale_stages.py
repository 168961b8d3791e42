"""What a million images of 224 pixels take, computed from rates that `_scale_rates.py` measured."""

from _scale_rates import EMBEDDING, FILTERS, SIDE, WIDTH, places

N_IMAGES, CELLS, CLUSTERS, ITERATIONS, EPOCHS = 10**6, 4, 10_000, 20, 100
MANY_PATCHES, FEW_PATCHES = 10**7, 400_000
#: A machine for the work, and how much of as many times the measured rate its cores reach.
CORES, OF_CORES = 32, 0.8
#: The same for machines or GPUs side by side.
MACHINES, OF_MACHINES = 8, 0.85
#: Each iteration of k-means over machines: seconds of the scheduler, bytes a second from one
#: machine to another (10 Gbit/s), and how often the centres travel for each worker.
OVERHEAD, NETWORK, TRIPS = 0.05, 1.25e9, 3
#: Values of an embedding that are clustered, the default of `n_components`; weights of a ResNet-18
#: and images of a step, after which machines exchange the gradients in a ring.
CLUSTERED, WEIGHTS, BATCH = 256, 11.2e6, 256
#: An A100 (the maker's data sheet): FLOP a second in float32 and in bfloat16, and how much of
#: them k-means and encoding, and a ResNet, are taken to reach. Cores that decode beside each GPU.
GPU, FLOAT32, BFLOAT16, OF_FLOAT32, OF_BFLOAT16, CORES_OF_GPU = (
    "A100",
    19.5e12,
    312e12,
    0.5,
    0.2,
    16,
)
PLACES = ("cores", "machine", "machines", "gpu", "gpus")


def columns(rates):
    """The headings of `PLACES`."""
    n = rates["threads"]
    cores = (f"{n} cores", f"{CORES} cores", f"{MACHINES} x {CORES} cores")
    names = dict(zip(PLACES, (*cores, f"1 {GPU}", f"{MACHINES} {GPU}"), strict=True))
    # Rates that were measured on a GPU are none of processors.
    return names if rates["device"] == "cpu" else {name: names[name] for name in PLACES[3:]}


def stages(rates):
    """Seconds of each stage at each of `PLACES`, with FLOP where products take the time.

    Returns
    -------
    list of dict
        With keys stage, flop (or None) and those of `PLACES`.
    """
    network = rates["FLOP of an image in the network"]
    embeddings = (N_IMAGES, CLUSTERED, CLUSTERS)
    found = [
        _on_cores(rates, "decode once", N_IMAGES, "images decoded"),
        _on_cores(rates, "prepare 10 million patches", MANY_PATCHES, "patches prepared"),
        *(
            _kmeans(rates, f"k-means of {n:,} patches", "patches", n, WIDTH, FILTERS)
            for n in (FEW_PATCHES, MANY_PATCHES)
        ),
        *(
            _products(
                rates,
                f"encode at stride {stride}",
                N_IMAGES * 2 * places(stride) * WIDTH * FILTERS,
                f"FLOP of encoding, stride {stride}",
                FLOAT32 * OF_FLOAT32,
            )
            for stride in (1, 4)
        ),
        *(
            _products(rates, f"network, {what}", N_IMAGES * times * network, f"FLOP of {key}", fast)
            for what, times, key, fast in (
                ("an epoch of learning", 3, "learning", BFLOAT16 * OF_BFLOAT16),
                ("one look at all", 1, "looking", BFLOAT16 * OF_BFLOAT16),
            )
        ),
        _kmeans(rates, "k-means of embeddings", "embeddings", *embeddings),
    ]
    for row in found:
        if row["stage"] == "network, an epoch of learning":
            row["machines"] += exchange_of_gradients()
    return found


def exchange_of_gradients():
    """Seconds of an epoch in which machines send each other gradients in a ring."""
    sent = 2 * (MACHINES - 1) / MACHINES * 4 * WEIGHTS
    return N_IMAGES / BATCH * sent / NETWORK


def totals(found):
    """Whole jobs, from the seconds of the stages.

    Reading runs beside computing, so that the slower one counts.
    """
    by_name = {row["stage"]: row for row in found}

    def job(name, *parts):
        row = {"stage": name, "flop": None}
        for place in PLACES:
            row[place] = sum(times * part(place) for times, part in parts)
        return row

    def alone(stage):
        return lambda place: by_name[stage][place]

    def beside_reading(stage):
        return lambda place: max(by_name[stage][place], by_name["decode once"][place])

    dictionary = [
        (1, beside_reading("prepare 10 million patches")),
        (1, alone(f"k-means of {MANY_PATCHES:,} patches")),
    ]
    epoch = [
        (EPOCHS, beside_reading("network, an epoch of learning")),
        (EPOCHS, beside_reading("network, one look at all")),
        (EPOCHS, alone("k-means of embeddings")),
    ]
    return [
        job("all: filters, stride 1", *dictionary, (1, beside_reading("encode at stride 1"))),
        job("all: filters, stride 4", *dictionary, (1, beside_reading("encode at stride 4"))),
        job(f"all: DeepCluster, {EPOCHS} epochs", *epoch),
    ]


def _on_cores(rates, name, n, key):
    """What the processor does, also beside a GPU."""
    seconds = n / rates[key]
    machine = seconds / (OF_CORES * CORES / rates["threads"])
    gpu = seconds / (OF_CORES * CORES_OF_GPU / rates["threads"])
    values = (seconds, machine, _shared(machine), gpu, _shared(gpu))
    return {"stage": name, "flop": None, **dict(zip(PLACES, values, strict=True))}


def _products(rates, name, flop, key, gpu_rate):
    """What products of matrices take the time of."""
    seconds = flop / rates[key]
    machine = seconds / (OF_CORES * CORES / rates["threads"])
    gpu = flop / (gpu_rate if rates["device"] == "cpu" else rates[key])
    values = (seconds, machine, _shared(machine), gpu, _shared(gpu))
    return {"stage": name, "flop": flop, **dict(zip(PLACES, values, strict=True))}


def _kmeans(rates, name, rows, n, width, k):
    """All iterations, and what they say to each other over machines."""
    flop = ITERATIONS * 2 * n * width * k
    row = _products(rates, name, flop, f"FLOP of k-means, {rows}", FLOAT32 * OF_FLOAT32)
    row["machines"] += ITERATIONS * (OVERHEAD + TRIPS * MACHINES * 4 * k * width / NETWORK)
    return row


def _shared(seconds):
    return seconds / (MACHINES * OF_MACHINES)


def table(rates):
    """The rows of the table of stages."""
    found = stages(rates)
    names = columns(rates)
    return [
        {"stage": row["stage"], "FLOP": row["flop"] and in_words(row["flop"], "FLOP")}
        | {name: duration(row[place]) for place, name in names.items()}
        for row in found + totals(found)
    ]


def sizes(rates):
    """The rows of the table of bytes."""
    maps = {stride: 4 * places(stride) * FILTERS for stride in (1, 4)}
    found = [
        ("JPEG files", rates["bytes of a JPEG"], "on disk"),
        ("pixels, uint8", 3 * SIDE**2, "on disk at most; a batch in memory"),
        ("pixels, float32", 12 * SIDE**2, "a batch"),
        ("all patches, stride 1", 4 * places(1) * WIDTH, "never"),
        ("all patches, stride 4", 4 * places(4) * WIDTH, "never"),
        ("maps of codes, stride 1", maps[1], "never"),
        ("maps of codes, stride 4", maps[4], "never"),
        (f"features, {CELLS} cells, float32", 4 * CELLS * FILTERS, "yes: the result"),
        (f"features, {CELLS} cells, float16", 2 * CELLS * FILTERS, "instead, on disk"),
        ("embeddings, float32", 4 * EMBEDDING, "in memory, sharded over processes"),
    ]
    rows = [
        {"what": what, "an image": in_words(n, "B"), "all": in_words(n * N_IMAGES, "B"), "kept": k}
        for what, n, k in found
    ]
    for n in (FEW_PATCHES, MANY_PATCHES):
        size = in_words(4 * n * WIDTH, "B")
        rows.append({"what": f"{n:,} drawn patches", "all": size, "kept": "in memory, in fit"})
    size = in_words(4 * FILTERS * WIDTH, "B")
    return [*rows, {"what": f"{FILTERS} filters", "all": size, "kept": "yes"}]


def remarks(rates):
    """What the table takes for granted, and where each place spends its time."""
    found = stages(rates)
    names = columns(rates)
    n = rates["threads"]
    gpu = (
        f"GPUs are estimates and nothing was run on one: the maker's peak of an {GPU}, "
        f"{FLOAT32 / 1e12:g} TFLOP/s in float32 and {BFLOAT16 / 1e12:g} in bfloat16, of which "
        f"k-means and encoding are taken to reach {OF_FLOAT32:.0%} and a ResNet {OF_BFLOAT16:.0%}; "
        f"{CORES_OF_GPU} cores beside each decode and prepare."
        if rates["device"] == "cpu"
        else f"Rates of products were measured on the GPU of this machine: read that for {GPU}."
    )
    slowest = {
        name: max(found, key=lambda row: row[place])["stage"] for place, name in names.items()
    }
    return [
        f"{n} cores: computed from the measured rates. {CORES} cores: these rates times "
        f"{CORES / n:g}, times {OF_CORES}. {MACHINES} machines or GPUs: {MACHINES * OF_MACHINES:g} "
        f"times the rate of one; k-means over machines takes {OVERHEAD:g} s more for each "
        f"iteration, and the centers go {TRIPS} times for each machine through a network of "
        f"{NETWORK * 8 / 1e9:g} Gbit/s.",
        gpu,
        f"Patches of 6x6x3, {FILTERS} filters, {ITERATIONS} iterations of k-means; ResNet-18, "
        f"{CLUSTERS:,} clusters of {CLUSTERED} values. In whole jobs, images are read and "
        "decoded anew each time, while others are computed: the slower of the two counts. Machines "
        f"exchange gradients in a ring, which takes {duration(exchange_of_gradients())} of an "
        "epoch; what GPUs of one machine exchange, random views and the final clusters are not "
        "counted.",
        "The slowest stage: "
        + ", ".join(f"{stage} ({place})" for place, stage in slowest.items())
        + ".",
    ]


def rate_rows(rates):
    """The rows of the table of measured rates."""
    rows = [
        ("JPEGs of 224 pixels decoded and read", f"{rates['images decoded']:,.0f} images/s"),
        ("patches cut, normalised, whitened", f"{rates['patches prepared']:,.0f} patches/s"),
    ]
    for key, what in {
        "FLOP of k-means, patches": f"k-means of patches, {WIDTH} values",
        "FLOP of k-means, embeddings": f"k-means of embeddings, {EMBEDDING} values",
        "FLOP of encoding, stride 1": f"triangle features, {FILTERS} filters, stride 1",
        "FLOP of encoding, stride 4": f"triangle features, {FILTERS} filters, stride 4",
        "FLOP of learning": "ResNet-18, a step of learning",
        "FLOP of looking": "ResNet-18, forward",
    }.items():
        rows.append((what, in_words(rates[key], "FLOP") + "/s"))
    return [{"stage": stage, "rate": rate} for stage, rate in rows]


def in_words(n, unit):
    """A number with its unit, in thousands."""
    for prefix in ("", "k", "M", "G", "T", "P"):
        if n < 1000 or prefix == "P":
            return f"{n:.3g} {prefix}{unit}" if n < 1000 else f"{n:,.0f} {prefix}{unit}"
        n /= 1000
    raise AssertionError


def duration(seconds):
    """A time in words."""
    for unit, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
