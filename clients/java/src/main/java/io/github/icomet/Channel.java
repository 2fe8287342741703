package io.github.icomet;

/** What an allocator gives: a channel, and how to be let into it. Immutable. */
public final class Channel {
    private final String name;
    private final String token;
    private final long seq;

    /** A channel from now on. The token is null where the server wants none. */
    public Channel(String name, String token) {
        this(name, token, 0);
    }

    /** A channel from message {@code seq} on; 0 is from now on. A client that has a seq already keeps its own. */
    public Channel(String name, String token, long seq) {
        if (name == null || name.isEmpty()) {
            throw new IllegalArgumentException("a channel needs a name");
        }
        if (seq < 0) {
            throw new IllegalArgumentException("seq is below 0");
        }
        this.name = name;
        this.token = token;
        this.seq = seq;
    }

    public String name() {
        return name;
    }

    public String token() {
        return token;
    }

    public long seq() {
        return seq;
    }
}
