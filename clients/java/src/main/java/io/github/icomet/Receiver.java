package io.github.icomet;

import com.google.gson.JsonObject;
import java.io.IOException;
import java.util.List;

/**
 * Takes the server's messages of one request: keeps where the client stands, and tells the listener. So nothing is told
 * twice, and nothing missing without {@code onLost}.
 */
final class Receiver {
    /** What the listener is told, guarded by the client against exceptions, and silent after its stop. */
    interface Told {
        void message(Message message);

        void lost(String channel, long count);

        void refused(String channel, int code, String why);

        void closed(String channel, boolean forGood);

        boolean stopped();
    }

    private final List<Subscription> asked;
    private final Told told;
    private final boolean asksForTokens;
    /** The content of a close behind which the client is not to come back. */
    private static final String STAY_AWAY = "stay_away";

    /** Another request is needed, at once. */
    boolean again;

    /** Another request is needed, after a while. */
    boolean later;

    Receiver(List<Subscription> asked, Told told, boolean asksForTokens) {
        this.asked = asked;
        this.told = told;
        this.asksForTokens = asksForTokens;
    }

    /** Whether this request is of no use any more. */
    boolean isOver() {
        return again || later || told.stopped();
    }

    void take(JsonObject message) throws IOException {
        if (told.stopped()) {
            return;
        }
        String type = Wire.text(message, "type");
        if (type.equals("noop")) {
            return;
        }
        Subscription of = find(Wire.text(message, "cname"));
        if (of == null) {
            return;
        }
        long seq = Wire.number(message, "seq");
        String content = Wire.text(message, "content");
        switch (type) {
            case "epoch":
                of.tellsEpoch(content, seq);
                break;
            case "data":
            case "broadcast":
                if (of.begunAgain() || seq >= of.nextSeq) {
                    of.nextSeq = seq + 1;
                    String event = Wire.text(message, "event");
                    told.message(new Message(of.name, seq, content, event.isEmpty() ? null : event, type.equals("broadcast")));
                }
                break;
            case "next_seq":
                nextSeq(of, seq);
                break;
            case "lost":
                if (!of.begunAgain() && content.isEmpty()) {
                    // A server that tells the epoch by an answer's tag alone: the next poll asks for it.
                    of.epoch = null;
                    again = true;
                }
                of.nextSeq = seq;
                told.lost(of.name, content.isEmpty() ? -1 : Wire.number(message, "content"));
                break;
            case "close":
                of.gone = content.equals(STAY_AWAY);
                later |= !of.gone || allGone();
                told.closed(of.name, of.gone);
                break;
            case "401":
                refused(of, content);
                break;
            case "429":
                of.shutOut = true;
                told.refused(of.name, 429, content);
                break;
            default:
                // A later server may know more types.
        }
    }

    private boolean allGone() {
        for (Subscription each : asked) {
            if (!each.gone) {
                return false;
            }
        }
        return true;
    }

    private void nextSeq(Subscription of, long seq) {
        if (of.begunAgain() || of.nextSeq > seq) {
            // The channel has ended, and is another one now: what it had since then can still be had.
            startAgain(of);
            again |= seq > 1;
        } else {
            of.nextSeq = seq;
        }
    }

    private void startAgain(Subscription of) {
        of.nextSeq = 1;
        told.lost(of.name, -1);
    }

    private void refused(Subscription of, String why) {
        of.needsChannel = asksForTokens;
        if (asksForTokens && !of.tokenIsFresh) {
            again = true;
        } else {
            of.shutOut = true;
        }
        told.refused(of.name, 401, why);
    }

    private Subscription find(String name) {
        for (Subscription each : asked) {
            if (each.name.equals(name)) {
                return each;
            }
        }
        return null;
    }
}
