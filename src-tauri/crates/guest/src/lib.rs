//! What boots an image: guest kernels, the boot command line, and what a guest says on its console.
