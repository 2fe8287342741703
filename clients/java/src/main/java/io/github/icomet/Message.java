package io.github.icomet;

/** A published message. Immutable. */
public final class Message {
    private final String channel;
    private final long seq;
    private final String content;
    private final String event;
    private final boolean broadcast;

    Message(String channel, long seq, String content, String event, boolean broadcast) {
        this.channel = channel;
        this.seq = seq;
        this.content = content;
        this.event = event;
        this.broadcast = broadcast;
    }

    /** The channel's name. */
    public String channel() {
        return channel;
    }

    /** Its number in the channel. */
    public long seq() {
        return seq;
    }

    /** What was published; what was published as JSON comes as its text. */
    public String content() {
        return content;
    }

    /** The name of the event, or null. */
    public String event() {
        return event;
    }

    /** Whether it went to all channels. */
    public boolean isBroadcast() {
        return broadcast;
    }

    @Override
    public String toString() {
        return channel + " " + seq + ": " + content;
    }
}
