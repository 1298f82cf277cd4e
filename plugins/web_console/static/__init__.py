"""What pages load: style, scripts, pictures."""
