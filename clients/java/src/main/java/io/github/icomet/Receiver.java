package io.github.icomet;

import com.google.gson.JsonObject;
import java.io.IOException;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

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

        void closed(String channel);

        boolean stopped();
    }

    private final List<Subscription> asked;
    private final Told told;
    private final boolean asksForTokens;
    private final Set<Subscription> heard = new HashSet<Subscription>();

    /** The epoch is another one than that of the request. */
    boolean epochChanged;

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
            case "data":
            case "broadcast":
                heard.add(of);
                if (seq >= of.nextSeq) {
                    of.nextSeq = seq + 1;
                    String event = Wire.text(message, "event");
                    told.message(new Message(of.name, seq, content, event.isEmpty() ? null : event, type.equals("broadcast")));
                }
                break;
            case "next_seq":
                heard.add(of);
                nextSeq(of, seq);
                break;
            case "lost":
                heard.add(of);
                if (content.isEmpty()) {
                    epochChanged = true;
                }
                of.nextSeq = seq;
                told.lost(of.name, content.isEmpty() ? -1 : Wire.number(message, "content"));
                break;
            case "close":
                later = true;
                told.closed(of.name);
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

    /** Where the client stands is unknown when the server has another memory, but for what it has told of that. */
    void forgetUnheard(List<Subscription> all) {
        for (Subscription each : all) {
            if (each.nextSeq > 0 && !heard.contains(each)) {
                startAgain(each);
            }
        }
    }

    private void nextSeq(Subscription of, long seq) {
        if (of.nextSeq > seq) {
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
