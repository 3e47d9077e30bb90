"""What others may see of a gateway at work: the access log, figures, traces."""
