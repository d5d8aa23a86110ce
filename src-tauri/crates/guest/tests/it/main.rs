//! Tests against real guest kernels, named by the environment.

mod kernels;
