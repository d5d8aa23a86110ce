//! The application core: appliances, builds, machines and jobs, behind one API for the window and the command line.
