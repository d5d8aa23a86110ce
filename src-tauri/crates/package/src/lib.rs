//! Packages: manifests, run configurations, ignore rules, and packing programs with all they need.
