"""Pure functions on tensors: no estimators, no validation, no state."""
