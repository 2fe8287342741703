//! icomet: a comet/push engine inside nginx.
