package io.github.icomet;

import java.util.LinkedHashMap;
import java.util.Map;

/** How a client connects. A client copies it: changes come too late for one that was made. Methods return the object. */
public final class ICometConf {
    final String url;
    final Map<String, Position> channels = new LinkedHashMap<String, Position>();
    final Map<String, String> headers = new LinkedHashMap<String, String>();
    String signUrl;
    ChannelAllocator allocator;
    Listener listener;
    boolean streaming = true;
    int connectTimeoutMillis = 10_000;
    int idleTimeoutMillis = 60_000;

    /** @param url the location of {@code icomet_sub}, as {@code https://example.com/icomet} */
    public ICometConf(String url) {
        if (!url.startsWith("http://") && !url.startsWith("https://")) {
            throw new IllegalArgumentException("no http or https URL: " + url);
        }
        this.url = url.endsWith("/") ? url.substring(0, url.length() - 1) : url;
    }

    ICometConf(ICometConf other) {
        url = other.url;
        channels.putAll(other.channels);
        headers.putAll(other.headers);
        signUrl = other.signUrl;
        allocator = other.allocator;
        listener = other.listener;
        streaming = other.streaming;
        connectTimeoutMillis = other.connectTimeoutMillis;
        idleTimeoutMillis = other.idleTimeoutMillis;
    }

    /** Where a client stands in a channel. */
    static final class Position {
        final long seq;
        final String epoch;

        Position(long seq, String epoch) {
            this.seq = seq;
            this.epoch = epoch;
        }
    }

    /** A channel from now on. Several share the connection. */
    public ICometConf channel(String name) {
        return channel(name, 0);
    }

    /** A channel from message {@code seq} on, as {@link ICometClient#nextSeq} told; 0 is from now on. */
    public ICometConf channel(String name, long seq) {
        return channel(name, seq, null);
    }

    /**
     * A channel from where an earlier client stood.
     *
     * @param epoch what {@link ICometClient#epoch} told together with the seq; null where it is not known
     */
    public ICometConf channel(String name, long seq, String epoch) {
        if (name.isEmpty() || seq < 0) {
            throw new IllegalArgumentException("a channel needs a name, and a seq of at least 0");
        }
        if (epoch != null && !Subscription.isEpoch(epoch)) {
            throw new IllegalArgumentException("no server tells such an epoch: " + epoch);
        }
        channels.put(name, new Position(seq, epoch));
        return this;
    }

    /** A URL of the back end that answers what {@code sign} does, for the parameter {@code cname}. */
    public ICometConf signUrl(String url) {
        this.signUrl = url;
        return this;
    }

    /** Gives the channels and their tokens; wins over {@link #signUrl}. */
    public ICometConf allocator(ChannelAllocator allocator) {
        this.allocator = allocator;
        return this;
    }

    /** Who is told of messages and states. */
    public ICometConf listener(Listener listener) {
        this.listener = listener;
        return this;
    }

    /** A header field of every request to the server, also to the sign URL: a cookie, a user agent. */
    public ICometConf header(String name, String value) {
        headers.put(name, value);
        return this;
    }

    /** Whether to stream (as long as nothing in between holds streams back), or to poll always. */
    public ICometConf streaming(boolean streaming) {
        this.streaming = streaming;
        return this;
    }

    /** How long connecting may take. */
    public ICometConf connectTimeoutMillis(int millis) {
        connectTimeoutMillis = positive(millis);
        return this;
    }

    /**
     * After how long without a word a connection is taken for dead: some more than the server's polling_timeout, after
     * which it says something. The default is a minute, for the server's default of half a minute.
     */
    public ICometConf idleTimeoutMillis(int millis) {
        idleTimeoutMillis = positive(millis);
        return this;
    }

    private static int positive(int millis) {
        if (millis <= 0) {
            throw new IllegalArgumentException("a time must be more than 0");
        }
        return millis;
    }
}
