"""The page: a Panel application over `co2net.inference.Engine`."""
