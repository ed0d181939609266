//! buildstep
