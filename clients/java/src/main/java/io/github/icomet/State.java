package io.github.icomet;

/** Where a client is. */
public enum State {
    /** It asks for a channel or connects, for the first time. */
    CONNECTING,
    /** It is subscribed: messages come. */
    OPEN,
    /** The connection was lost, or refused; it comes back by itself. */
    RECONNECTING,
    /** It has ended, and will not come back. */
    CLOSED
}
