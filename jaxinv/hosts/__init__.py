"""Several processes that run one command together, on one host or many."""
