package io.github.icomet;

import java.io.IOException;

/** Asks the program's back end for a channel and its token. */
public interface ChannelAllocator {
    /**
     * Called by the client's thread before it connects, and again when the server refused the token. It may take its time,
     * but should end when the thread is interrupted: that is how a client is stopped here.
     *
     * @param name the name that the configuration has; the answer may have another
     * @throws IOException when it cannot be had now; the client tries again later
     */
    Channel allocate(String name) throws IOException;
}
