package io.github.icomet;

/**
 * What a client tells its program. All methods are called by the client's one thread, one at a time; none is called after
 * the state CLOSED. They may call any method of the client but {@code awaitEnd}. One that throws is told of by
 * {@link #onProblem}, and the client goes on.
 */
public abstract class Listener {
    /** A message came. Each comes once, in the order of its channel. */
    public abstract void onMessage(Message message);

    /** The client is in another state now. */
    public void onState(State state) {}

    /**
     * Messages of the channel are gone, and the next message is one after them.
     *
     * @param count how many, or -1 where nobody knows: the server's memory, or the channel, is another one
     */
    public void onLost(String channel, long count) {}

    /**
     * The server did not let the client in; it tries again. With an allocator it asks for another token first.
     *
     * @param code 401: the token is wrong, missing or over; 429: too many channels or subscribers
     */
    public void onRefused(String channel, int code, String why) {}

    /**
     * A back end closed the channel, or disconnected the client. The client comes back to it, unless it is stopped
     * here.
     */
    public void onClose(String channel) {}

    /**
     * A back end has ended the client's subscription of the channel, and the client is to stay away. It does; without any other
     * channel it stops.
     */
    public void onStayAway(String channel) {}

    /** Something failed: a connection, a sign request, a method of this listener. The client tries again. */
    public void onProblem(Exception problem) {}
}
