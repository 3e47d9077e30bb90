"""New versions of controllers on their way: watched in shadow, tried on a share of requests, promoted or taken back."""
