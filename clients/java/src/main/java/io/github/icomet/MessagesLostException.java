package io.github.icomet;

/** Messages are gone that a {@link MessageReader} would have come to now. It goes on behind them. */
public final class MessagesLostException extends Exception {
    private static final long serialVersionUID = 1;

    private final String channel;
    private final long count;

    MessagesLostException(String channel, long count) {
        super("messages of " + channel + " are lost: " + (count < 0 ? "nobody knows how many" : count));
        this.channel = channel;
        this.count = count;
    }

    public String channel() {
        return channel;
    }

    /** How many, or -1 where nobody knows. */
    public long count() {
        return count;
    }
}
