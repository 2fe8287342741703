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

    private static final long GOOD_NANOS = 5_000_000_000L;
    private static final int MAX_CUTS = 3;

    private final ICometConf conf;
    private final List<Subscription> subscriptions;
    private final Transport transport;
    private final ChannelAllocator allocator;
    private final Told told;
    private volatile boolean allocating;
    /** The server takes one epoch for all channels: it is of a time before each had its own. */
    private boolean oneEpoch;

    /** How often in a row a stream ended before it was a good one. */
    private int cuts;

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
    }

    /** The client is to stay away from all of its channels. */
    boolean hasEnded() {
        return wanted().isEmpty();
    }

    private List<Subscription> wanted() {
        List<Subscription> wanted = new ArrayList<Subscription>();
        for (Subscription each : subscriptions) {
            if (!each.gone) {
                wanted.add(each);
            }
        }
        return wanted;
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
        Receiver first = poll(wanted(), 0);
        if (first.isOver()) {
            return first.again && !first.later;
        }
        List<Subscription> open = letIn();
        if (open.isEmpty()) {
            return false;
        }
        told.open();
        if (open.size() < wanted().size()) {
            return pollOthers(open, backoff);
        }
        if (conf.streaming && !streamsAreHeldBack) {
            return stream(backoff);
        }
        while (true) {
            Receiver receiver = poll(wanted(), Math.min(POLL_SECONDS, Math.max(1, conf.idleTimeoutMillis / 2000)));
            if (receiver.isOver()) {
                return receiver.again && !receiver.later;
            }
            if (letIn().size() < wanted().size()) {
                return false;
            }
            backoff.reset();
        }
    }

    /** While some channels let nobody in the others poll; then all try again. */
    private boolean pollOthers(List<Subscription> others, Backoff backoff) throws IOException {
        long deadline = System.nanoTime() + backoff.nextMillis() * 1_000_000;
        for (long left; (left = deadline - System.nanoTime()) > 0; ) {
            others.retainAll(wanted());
            if (others.isEmpty()) {
                return true;
            }
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
        Transport.Answer answer;
        try {
            answer = transport.get(url("sub", asked) + "&wait=" + waitSeconds);
        } catch (StatusException refused) {
            if (refused.status != 400 || oneEpoch || asked.size() < 2 || !refused.getMessage().contains("epoch")) {
                throw refused;
            }
            oneEpoch = true;
            receiver.again = true;
            return receiver;
        }
        List<JsonObject> messages = Wire.messages(answer.body);
        if (answer.epoch != null && !tellsEpochs(messages)) {
            for (Subscription each : asked) {
                each.tellsEpoch(answer.epoch, each.nextSeq);
            }
        }
        for (JsonObject message : messages) {
            receiver.take(message);
        }
        for (Subscription each : asked) {
            each.tokenIsFresh &= each.needsChannel;
        }
        return receiver;
    }

    private static boolean tellsEpochs(List<JsonObject> messages) throws IOException {
        for (JsonObject message : messages) {
            if (Wire.text(message, "type").equals("epoch")) {
                return true;
            }
        }
        return false;
    }

    private boolean stream(Backoff backoff) throws IOException {
        final List<Subscription> asked = wanted();
        final Receiver receiver = new Receiver(asked, told, allocator != null);
        final boolean[] heard = {false};
        final boolean[] good = {false};
        final long began = System.nanoTime();
        try {
            transport.stream(url("stream", asked), new Transport.Lines() {
                @Override
                public boolean line(String line) throws IOException {
                    heard[0] = true;
                    JsonObject message = Wire.object(line);
                    String type = Wire.text(message, "type");
                    good[0] |= !type.equals("epoch") && !type.equals("next_seq");
                    receiver.take(message);
                    return !receiver.isOver() && letIn().size() == wanted().size();
                }
            });
        } catch (SocketTimeoutException silent) {
            streamsAreHeldBack = !streamsGetThrough && !heard[0];
            throw silent;
        } finally {
            streamsGetThrough |= heard[0];
            // What said something, or lived for some seconds, was a stream. What is cut sooner, time and again, will be so.
            if (good[0] || System.nanoTime() - began > GOOD_NANOS) {
                cuts = 0;
                backoff.reset();
            } else if (!told.stopped() && ++cuts >= MAX_CUTS) {
                streamsAreHeldBack = true;
            }
        }
        return receiver.again && !receiver.later;
    }

    private List<Subscription> letIn() {
        List<Subscription> open = new ArrayList<Subscription>();
        for (Subscription each : subscriptions) {
            if (!each.shutOut && !each.gone) {
                open.add(each);
            }
        }
        return open;
    }

    /** Asks for the channels whose token is missing or was refused. */
    private void allocate() throws IOException {
        for (Subscription each : subscriptions) {
            if (!each.needsChannel || each.gone) {
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
                each.epoch = null;
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
        StringBuilder epochs = new StringBuilder();
        boolean signed = false;
        for (Subscription each : asked) {
            String comma = names.length() == 0 ? "" : ",";
            names.append(comma).append(Transport.encode(each.name));
            seqs.append(comma).append(each.nextSeq);
            epochs.append(comma).append(each.epoch == null || each.nextSeq == 0 ? "" : Transport.encode(each.epoch));
            tokens.append(comma).append(each.token == null ? "" : Transport.encode(each.token));
            signed |= each.token != null && !each.token.isEmpty();
        }
        String url = conf.url + "/" + endpoint + "?cname=" + names + "&seq=" + seqs;
        if (signed) {
            url += "&token=" + tokens;
        }
        // Who sends an epoch, if an empty one, is told it.
        return url + "&epoch=" + (oneEpoch ? oneOf(asked) : epochs);
    }

    /** The epoch of all channels; where they stand in several, one that is none, so that each is told what it may have lost. */
    private static String oneOf(List<Subscription> asked) {
        String epoch = "";
        for (Subscription each : asked) {
            if (each.epoch != null && each.nextSeq > 0) {
                if (!epoch.isEmpty() && !epoch.equals(each.epoch)) {
                    return "0000000000000000";
                }
                epoch = each.epoch;
            }
        }
        return epoch;
    }
}
