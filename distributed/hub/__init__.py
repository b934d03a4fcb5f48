"""The Hugging Face Hub: requests to it, what its answers mean, and its files in ranges."""
