package io.github.icomet;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import com.google.gson.JsonObject;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.Test;

public class PartsTest {
    @Test
    public void backoffIsRandomWithinItsBounds() {
        Backoff backoff = new Backoff(new Random(1));
        long longest = 0;
        for (int i = 0; i < 1000; i++) {
            long wait = backoff.nextMillis();
            assertTrue("wait of " + wait, wait >= 500 && wait <= 20_000);
            longest = Math.max(longest, wait);
        }
        assertTrue("the longest is " + longest, longest > 15_000);
        for (int i = 0; i < 100; i++) {
            backoff.reset();
            assertTrue(backoff.nextMillis() <= 2000);
        }
    }

    @Test
    public void epochOfAnEntityTag() {
        assertEquals("9329c5695a8722ae", Transport.epochOf("\"9329c5695a8722ae-7\""));
        assertEquals("9329c5695a8722ae", Transport.epochOf("W/\"9329c5695a8722ae-7.a.\""));
        for (String tag : new String[] {null, "", "\"", "\"abc-7\"", "\"9329c5695a8722aX-7\"", "9329c5695a8722ae"}) {
            assertNull(tag, Transport.epochOf(tag));
        }
    }

    @Test
    public void whatIsNoMessageIsAnError() {
        for (String body : new String[] {"", "<html>", "7", "[7]", "{\"a\"", "null"}) {
            try {
                Wire.messages(body);
            } catch (IOException expected) {
                continue;
            }
            throw new AssertionError("taken as messages: " + body);
        }
    }

    private static JsonObject message(String type, long seq, String content) throws IOException {
        return Wire.object("{\"type\":\"" + type + "\",\"cname\":\"a\",\"seq\":" + seq + ",\"content\":\"" + content + "\"}");
    }

    private static Subscription at(long seq, String epoch) {
        return new Subscription("a", new ICometConf.Position(seq, epoch), false);
    }

    private static Receiver receiver(Subscription of, List<String> told) {
        return new Receiver(Collections.singletonList(of), new Receiver.Told() {
            @Override
            public void message(Message message) {
                told.add(message.toString());
            }

            @Override
            public void lost(String channel, long count) {
                told.add("lost " + count);
            }

            @Override
            public void refused(String channel, int code, String why) {
                told.add("refused " + code);
            }

            @Override
            public void closed(String channel, boolean forGood) {
                told.add(forGood ? "stay away" : "close");
            }

            @Override
            public boolean stopped() {
                return false;
            }
        }, false);
    }

    @Test
    public void anotherIncarnationIsNoDoubleAndStandsWhenItsLossIsTold() throws Exception {
        List<String> told = new ArrayList<>();
        Subscription of = at(5, "e.1");
        Receiver receiver = receiver(of, told);
        receiver.take(message("epoch", 1, "e.2"));
        assertEquals("e.1", of.epoch);
        receiver.take(message("lost", 2, "1"));
        receiver.take(message("data", 2, "x"));
        assertEquals(Arrays.asList("lost 1", "a 2: x"), told);
        assertEquals("e.2", of.epoch);
        assertEquals(3, of.nextSeq);
        assertFalse(receiver.isOver());
    }

    @Test
    public void theFirstEpochIsWhereTheClientStands() throws Exception {
        Subscription resumed = at(5, null);
        receiver(resumed, new ArrayList<>()).take(message("epoch", 5, "e.1"));
        assertEquals("e.1", resumed.epoch);
        Subscription fresh = at(0, null);
        receiver(fresh, new ArrayList<>()).take(message("epoch", 9, "e.1"));
        assertEquals(9, fresh.nextSeq);
    }

    @Test
    public void aLossOfAServerThatTellsNoEpochAsksForIt() throws Exception {
        Subscription of = at(5, "9329c5695a8722ae");
        Receiver receiver = receiver(of, new ArrayList<>());
        receiver.take(message("lost", 1, ""));
        assertNull(of.epoch);
        assertTrue(receiver.again);
    }

    @Test
    public void awayItStays() throws Exception {
        List<String> told = new ArrayList<>();
        Subscription of = at(5, "e.1");
        Receiver receiver = receiver(of, told);
        receiver.take(message("close", 5, "stay_away"));
        assertTrue(of.gone);
        assertTrue(receiver.isOver());
        assertFalse(receiver.again);
        assertEquals(Arrays.asList("stay away"), told);
    }

    @Test
    public void anEpochThatNoServerTellsIsRefused() {
        for (String epoch : new String[] {"", "a,b", "a b", "x".repeat(33)}) {
            try {
                new ICometConf("http://h/icomet").channel("a", 1, epoch);
            } catch (IllegalArgumentException expected) {
                continue;
            }
            throw new AssertionError("taken as an epoch: " + epoch);
        }
    }
}
