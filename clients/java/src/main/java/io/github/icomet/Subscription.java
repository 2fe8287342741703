package io.github.icomet;

/** One channel of a client, and where the client stands in it. Only the client's thread changes it. */
final class Subscription {
    /** The name that the allocator is asked for. */
    final String wanted;

    /** The channel's name on the server. */
    String name;

    String token;

    /** The seq to ask for next; 0 before the client knows one. */
    volatile long nextSeq;

    /** Whether the allocator is to be asked before the next request. */
    boolean needsChannel;

    /** Whether the allocator has given the channel once. */
    boolean wasAllocated;

    /** Whether the token is new since the channel last let the client in: another one will hardly help at once. */
    boolean tokenIsFresh;

    /** Whether the channel did not let the client in at the last request, and is to be asked again later. */
    boolean shutOut;

    Subscription(String wanted, long nextSeq, boolean needsChannel) {
        this.wanted = wanted;
        this.name = wanted;
        this.nextSeq = nextSeq;
        this.needsChannel = needsChannel;
    }
}
