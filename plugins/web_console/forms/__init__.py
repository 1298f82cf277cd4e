"""Forms made from models: any kind's keys become fields, and what a form sends becomes a part of the configuration."""
