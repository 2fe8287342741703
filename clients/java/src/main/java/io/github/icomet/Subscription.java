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

    /** What {@link #nextSeq} counts in, as the server told it; null before it has. */
    volatile String epoch;

    /**
     * The channel is another one now, and has not said yet from where on. Until then the client stands where it stood: if it is
     * cut off in between, the server tells the loss again.
     */
    private String coming;

    /** The client is to stay away from it: it is asked for no more. */
    volatile boolean gone;

    /** Whether the allocator is to be asked before the next request. */
    boolean needsChannel;

    /** Whether the allocator has given the channel once. */
    boolean wasAllocated;

    /** Whether the token is new since the channel last let the client in: another one will hardly help at once. */
    boolean tokenIsFresh;

    /** Whether the channel did not let the client in at the last request, and is to be asked again later. */
    boolean shutOut;

    Subscription(String wanted, ICometConf.Position position, boolean needsChannel) {
        this.wanted = wanted;
        this.name = wanted;
        this.nextSeq = position.seq;
        this.epoch = position.epoch;
        this.needsChannel = needsChannel;
    }

    /** The server tells the channel's epoch, and from which seq on it is served. */
    void tellsEpoch(String told, long from) {
        if (!isEpoch(told)) {
            return;
        }
        if (epoch != null && !epoch.equals(told) && nextSeq > 0) {
            coming = told;
            return;
        }
        epoch = told;
        coming = null;
        if (nextSeq == 0) {
            nextSeq = from;
        }
    }

    /** What the channel tells now is of the epoch that it has announced. Says whether that is another one. */
    boolean begunAgain() {
        if (coming == null) {
            return false;
        }
        epoch = coming;
        coming = null;
        return true;
    }

    /** What a server may tell as an epoch: it is kept, compared and sent back, and never looked into. */
    static boolean isEpoch(String text) {
        return text.matches("[!-+\\--~]{1,32}");
    }
}
