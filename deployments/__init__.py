"""What runs where: the Ray Serve application."""
