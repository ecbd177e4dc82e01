"""What is wrong with a deployment, found before somebody else finds it. Nothing is changed."""
