//! The comet engine: channels in shared memory, no nginx, no sockets.
