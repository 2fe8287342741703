package io.github.icomet;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Receives the messages of one or several channels, and comes back by itself when the connection is lost: nothing twice, and
 * nothing missing without {@link Listener#onLost}. It has one thread. Its methods may be called by any thread.
 */
public final class ICometClient {
    private final ICometConf conf;
    private final List<Subscription> subscriptions = new ArrayList<Subscription>();
    private final Transport transport;
    private final Subscriber subscriber;
    private final AtomicBoolean started = new AtomicBoolean();
    private final CountDownLatch stop = new CountDownLatch(1);
    private final CountDownLatch ended = new CountDownLatch(1);
    private volatile Thread thread;
    private volatile Thread ownThread;
    private volatile State state = State.CONNECTING;

    /** A client that does nothing yet. */
    public ICometClient(ICometConf conf) {
        if (conf.listener == null || conf.channels.isEmpty()) {
            throw new IllegalArgumentException("a client needs a listener and a channel");
        }
        this.conf = new ICometConf(conf);
        transport = new Transport(this.conf);
        ChannelAllocator allocator = conf.allocator;
        if (allocator == null && conf.signUrl != null) {
            allocator = new SignUrlAllocator(conf.signUrl, transport);
        }
        for (Map.Entry<String, ICometConf.Position> channel : conf.channels.entrySet()) {
            subscriptions.add(new Subscription(channel.getKey(), channel.getValue(), allocator != null));
        }
        subscriber = new Subscriber(this.conf, subscriptions, transport, allocator, new Teller());
    }

    /** Starts the client in a thread of its own, and returns at once. */
    public ICometClient start() {
        final Thread own = new Thread("icomet-client") {
            @Override
            public void run() {
                receive();
            }
        };
        begin(own);
        ownThread = own;
        own.start();
        return this;
    }

    /** Runs the client in the calling thread, until it is stopped. */
    public void run() {
        begin(Thread.currentThread());
        receive();
    }

    private void begin(Thread runner) {
        if (!started.compareAndSet(false, true)) {
            throw new IllegalStateException("a client starts once; make another one");
        }
        thread = runner;
    }

    /**
     * Stops the client, and returns at once. The listener hears nothing more than the state CLOSED. The thread ends within
     * about a second; where it is connecting, or an answer has come in parts only, when their timeouts are over.
     */
    public void stop() {
        if (stop.getCount() == 0) {
            return;
        }
        stop.countDown();
        if (!started.get()) {
            state = State.CLOSED;
            return;
        }
        transport.stop();
        Thread runner = thread;
        if (subscriber.isAllocating() && runner != null && runner != Thread.currentThread()) {
            runner.interrupt();
        }
    }

    /**
     * Waits until a stopped client has ended: its thread does nothing more.
     *
     * @return whether it has
     */
    public boolean awaitEnd(long timeout, TimeUnit unit) throws InterruptedException {
        long deadline = System.nanoTime() + unit.toNanos(timeout);
        if (!ended.await(timeout, unit)) {
            return false;
        }
        Thread own = ownThread;
        if (own == null) {
            return true;
        }
        own.join(Math.max(1, TimeUnit.NANOSECONDS.toMillis(deadline - System.nanoTime())));
        return !own.isAlive();
    }

    /** Where the client is. */
    public State state() {
        return state;
    }

    /** The seq that the client would ask for next: to be kept with {@link #epoch}, and given to a later client. */
    public long nextSeq(String channel) {
        return subscription(channel).nextSeq;
    }

    /**
     * What the channel's seqs count in, or null before it is known: a text of at most 32 bytes, to be kept as it is. To be read
     * when the client has ended, or in its listener: otherwise it may change between this and {@link #nextSeq}.
     */
    public String epoch(String channel) {
        return subscription(channel).epoch;
    }

    private Subscription subscription(String channel) {
        for (Subscription each : subscriptions) {
            if (each.wanted.equals(channel)) {
                return each;
            }
        }
        throw new IllegalArgumentException("the client has no such channel: " + channel);
    }

    private boolean stopped() {
        return stop.getCount() == 0;
    }

    private void receive() {
        Backoff backoff = new Backoff(new Random());
        try {
            tell(State.CONNECTING);
            while (!stopped()) {
                boolean again = false;
                try {
                    again = subscriber.subscribe(backoff);
                } catch (Exception problem) {
                    problem(problem);
                }
                if (stopped() || subscriber.hasEnded()) {
                    break;
                }
                if (!again) {
                    tell(State.RECONNECTING);
                    stop.await(backoff.nextMillis(), TimeUnit.MILLISECONDS);
                }
            }
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        } finally {
            stop.countDown();
            transport.stop();
            state = State.CLOSED;
            try {
                conf.listener.onState(State.CLOSED);
            } finally {
                ended.countDown();
            }
        }
    }

    private void tell(State now) {
        if (state == now && now != State.CONNECTING || stopped()) {
            return;
        }
        state = now;
        try {
            conf.listener.onState(now);
        } catch (RuntimeException thrown) {
            problem(thrown);
        }
    }

    private void problem(Exception problem) {
        if (stopped()) {
            return;
        }
        try {
            conf.listener.onProblem(problem);
        } catch (RuntimeException thrown) {
            // It cannot be told of its own mistake either.
        }
    }

    /** Hands on to the listener. */
    private final class Teller implements Subscriber.Told {
        @Override
        public void open() {
            tell(State.OPEN);
        }

        @Override
        public void problem(Exception problem) {
            ICometClient.this.problem(problem);
        }

        @Override
        public void message(Message message) {
            try {
                conf.listener.onMessage(message);
            } catch (RuntimeException thrown) {
                problem(thrown);
            }
        }

        @Override
        public void lost(String channel, long count) {
            try {
                conf.listener.onLost(channel, count);
            } catch (RuntimeException thrown) {
                problem(thrown);
            }
        }

        @Override
        public void refused(String channel, int code, String why) {
            try {
                conf.listener.onRefused(channel, code, why);
            } catch (RuntimeException thrown) {
                problem(thrown);
            }
        }

        @Override
        public void closed(String channel, boolean forGood) {
            try {
                if (forGood) {
                    conf.listener.onStayAway(channel);
                } else {
                    conf.listener.onClose(channel);
                }
            } catch (RuntimeException thrown) {
                problem(thrown);
            }
        }

        @Override
        public boolean stopped() {
            return ICometClient.this.stopped();
        }
    }
}
