"""The protocols that clients speak, each translated into chat completions and back."""
