//! The bytes of files on their way into an image.
