"""Road objects: pedestrian, car, motorcycle, truck, or the classes of other data."""
