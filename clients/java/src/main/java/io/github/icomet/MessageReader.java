package io.github.icomet;

import java.io.Closeable;
import java.util.ArrayDeque;
import java.util.concurrent.TimeUnit;

/**
 * The blocking style: messages are taken one after the other. A client's thread receives them and holds some; then it waits for
 * the reader, and the server keeps what its buffer has room for. Any thread may read, and close.
 */
public final class MessageReader implements Closeable {
    private static final int HELD = 256;

    private final ICometClient client;
    private final Listener others;
    private final ArrayDeque<Object> queue = new ArrayDeque<Object>();
    private boolean closed;
    private boolean ended;

    /** Starts to receive. A listener of the configuration is told all but messages and losses, which come here. */
    public MessageReader(ICometConf conf) {
        ICometConf own = new ICometConf(conf);
        others = own.listener;
        own.listener = new Filler();
        client = new ICometClient(own).start();
    }

    /**
     * The next message, which is waited for; null once the reader is closed, or no channel is left.
     *
     * @throws MessagesLostException when messages before the next one are lost; thrown once for each loss
     */
    public Message next() throws InterruptedException, MessagesLostException {
        return next(Long.MAX_VALUE, TimeUnit.NANOSECONDS);
    }

    /** The same, but null as well when no message came in time. */
    public Message next(long timeout, TimeUnit unit) throws InterruptedException, MessagesLostException {
        long start = System.nanoTime();
        long wait = unit.toNanos(timeout);
        Object item;
        synchronized (queue) {
            while (queue.isEmpty() && !closed && !ended) {
                long left = wait - (System.nanoTime() - start);
                if (left <= 0) {
                    return null;
                }
                queue.wait(Math.min(left / 1_000_000 + 1, 3_600_000));
            }
            if (closed || queue.isEmpty()) {
                return null;
            }
            item = queue.poll();
            queue.notifyAll();
        }
        if (item instanceof MessagesLostException) {
            throw (MessagesLostException) item;
        }
        return (Message) item;
    }

    /** Where its client is. */
    public State state() {
        return client.state();
    }

    /** Ends the reader, and who waits in {@link #next}. Its thread ends as after {@link ICometClient#stop}. */
    @Override
    public void close() {
        synchronized (queue) {
            closed = true;
            queue.clear();
            queue.notifyAll();
        }
        client.stop();
    }

    /** Waits until the reader's thread has ended after {@link #close}; says whether it has. */
    public boolean awaitEnd(long timeout, TimeUnit unit) throws InterruptedException {
        return client.awaitEnd(timeout, unit);
    }

    private void put(Object item) {
        synchronized (queue) {
            while (queue.size() >= HELD && !closed) {
                try {
                    queue.wait();
                } catch (InterruptedException nobodyInterruptsIt) {
                    closed = true;
                }
            }
            if (!closed) {
                queue.add(item);
                queue.notifyAll();
            }
        }
    }

    private final class Filler extends Listener {
        @Override
        public void onMessage(Message message) {
            put(message);
        }

        @Override
        public void onLost(String channel, long count) {
            put(new MessagesLostException(channel, count));
        }

        @Override
        public void onState(State state) {
            if (state == State.CLOSED) {
                synchronized (queue) {
                    ended = true;
                    queue.notifyAll();
                }
            }
            if (others != null) {
                others.onState(state);
            }
        }

        @Override
        public void onRefused(String channel, int code, String why) {
            if (others != null) {
                others.onRefused(channel, code, why);
            }
        }

        @Override
        public void onClose(String channel) {
            if (others != null) {
                others.onClose(channel);
            }
        }

        @Override
        public void onStayAway(String channel) {
            if (others != null) {
                others.onStayAway(channel);
            }
        }

        @Override
        public void onProblem(Exception problem) {
            if (others != null) {
                others.onProblem(problem);
            }
        }
    }
}
