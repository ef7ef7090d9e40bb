"""`make demo-adapter`: teaches the demo model medical sentences, and shows them arrive in the running service."""
