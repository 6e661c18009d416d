"""Ray and Ray Tune for whoever trains many networks side by side. Nothing is imported here: a worker starts sooner."""
