package io.github.icomet;

import com.google.gson.JsonObject;
import java.io.IOException;
import java.net.SocketTimeoutException;
import java.util.ArrayList;
import java.util.List;

/**
 * One connection after the other: first a poll that answers at once, with what the client has not had, the epoch, and who is
 * refused; then a stream from there, or long polls where streams are held back.
 */
final class Subscriber {
    /** What the client is told beside messages. */
    interface Told extends Receiver.Told {
        void open();

        void problem(Exception problem);
    }

    /** How long one long poll lasts at most; servers, proxies and the idle timeout allow more. */
    private static final int POLL_SECONDS = 25;

    private final ICometConf conf;
    private final List<Subscription> subscriptions;
    private final Transport transport;
    private final ChannelAllocator allocator;
    private final Told told;
    private volatile boolean allocating;
    private volatile String epoch;
    /** A line came by a stream once: they get through, and one that falls silent is dead. */
    private boolean streamsGetThrough;

    /** A stream was silent for longer than the server is: something in between collects answers. */
    private boolean streamsAreHeldBack;

    Subscriber(ICometConf conf, List<Subscription> subscriptions, Transport transport, ChannelAllocator allocator, Told told) {
        this.conf = conf;
        this.subscriptions = subscriptions;
        this.transport = transport;
        this.allocator = allocator;
        this.told = told;
        this.epoch = conf.epoch;
    }

    String epoch() {
        return epoch;
    }

    boolean isAllocating() {
        return allocating;
    }

    /**
     * Connects, and receives until the connection ends.
     *
     * @return whether to connect again at once
     */
    boolean subscribe(Backoff backoff) throws IOException {
        allocate();
        Receiver first = poll(subscriptions, 0);
        if (first.isOver()) {
            return first.again && !first.later;
        }
        List<Subscription> open = letIn();
        if (open.isEmpty()) {
            return false;
        }
        told.open();
        if (open.size() < subscriptions.size()) {
            return pollOthers(open, backoff);
        }
        if (conf.streaming && !streamsAreHeldBack) {
            return stream(backoff);
        }
        while (true) {
            Receiver receiver = poll(subscriptions, Math.min(POLL_SECONDS, Math.max(1, conf.idleTimeoutMillis / 2000)));
            if (receiver.isOver()) {
                return receiver.again && !receiver.later;
            }
            if (letIn().size() < subscriptions.size()) {
                return false;
            }
            backoff.reset();
        }
    }

    /** While some channels let nobody in the others poll; then all try again. */
    private boolean pollOthers(List<Subscription> others, Backoff backoff) throws IOException {
        long deadline = System.nanoTime() + backoff.nextMillis() * 1_000_000;
        for (long left; (left = deadline - System.nanoTime()) > 0; ) {
            Receiver receiver = poll(others, (int) Math.max(1, left / 1_000_000_000L));
            if (receiver.isOver()) {
                return receiver.again && !receiver.later;
            }
        }
        return true;
    }

    private Receiver poll(List<Subscription> asked, int waitSeconds) throws IOException {
        for (Subscription each : asked) {
            each.shutOut = false;
        }
        Receiver receiver = new Receiver(asked, told, allocator != null);
        Transport.Answer answer = transport.get(url("sub", asked) + "&wait=" + waitSeconds);
        String before = epoch;
        for (JsonObject message : Wire.messages(answer.body)) {
            receiver.take(message);
        }
        for (Subscription each : asked) {
            each.tokenIsFresh &= each.needsChannel;
        }
        if (told.stopped()) {
            return receiver;
        }
        if (answer.epoch != null) {
            if (before != null && !before.equals(answer.epoch)) {
                receiver.forgetUnheard(subscriptions);
            }
            epoch = answer.epoch;
        } else if (receiver.epochChanged) {
            epoch = null;
        }
        return receiver;
    }

    private boolean stream(Backoff backoff) throws IOException {
        final Receiver receiver = new Receiver(subscriptions, told, allocator != null);
        final boolean[] heard = {false};
        try {
            transport.stream(url("stream", subscriptions), new Transport.Lines() {
                @Override
                public boolean line(String line) throws IOException {
                    heard[0] = true;
                    JsonObject message = Wire.object(line);
                    // The stream does not say which epoch it is now: the next poll does, and tells what was lost.
                    if (Wire.text(message, "type").equals("lost") && Wire.text(message, "content").isEmpty()) {
                        receiver.again = true;
                        return false;
                    }
                    receiver.take(message);
                    return !receiver.isOver() && letIn().size() == subscriptions.size();
                }
            });
        } catch (SocketTimeoutException silent) {
            streamsAreHeldBack = !streamsGetThrough && !heard[0];
            throw silent;
        } finally {
            if (heard[0]) {
                streamsGetThrough = true;
                backoff.reset();
            }
        }
        return receiver.again && !receiver.later;
    }

    private List<Subscription> letIn() {
        List<Subscription> open = new ArrayList<Subscription>();
        for (Subscription each : subscriptions) {
            if (!each.shutOut) {
                open.add(each);
            }
        }
        return open;
    }

    /** Asks for the channels whose token is missing or was refused. */
    private void allocate() throws IOException {
        for (Subscription each : subscriptions) {
            if (!each.needsChannel) {
                continue;
            }
            Channel channel;
            allocating = true;
            try {
                channel = allocator.allocate(each.wanted);
            } finally {
                allocating = false;
            }
            if (channel == null) {
                throw new IOException("the allocator gave no channel");
            }
            if (told.stopped()) {
                return;
            }
            // A seq counts in one channel only: for another one, later, the allocator's is all there is.
            if (each.nextSeq == 0 || each.wasAllocated && !each.name.equals(channel.name())) {
                each.nextSeq = channel.seq();
            }
            each.wasAllocated = true;
            each.name = channel.name();
            each.token = channel.token();
            each.needsChannel = false;
            each.tokenIsFresh = true;
        }
    }

    /** Several channels stand with commas between; a comma in a name is encoded. */
    private String url(String endpoint, List<Subscription> asked) {
        StringBuilder names = new StringBuilder();
        StringBuilder seqs = new StringBuilder();
        StringBuilder tokens = new StringBuilder();
        boolean signed = false;
        for (Subscription each : asked) {
            String comma = names.length() == 0 ? "" : ",";
            names.append(comma).append(Transport.encode(each.name));
            seqs.append(comma).append(each.nextSeq);
            tokens.append(comma).append(each.token == null ? "" : Transport.encode(each.token));
            signed |= each.token != null && !each.token.isEmpty();
        }
        String url = conf.url + "/" + endpoint + "?cname=" + names + "&seq=" + seqs;
        if (signed) {
            url += "&token=" + tokens;
        }
        if (epoch != null) {
            url += "&epoch=" + epoch;
        }
        return url;
    }
}
