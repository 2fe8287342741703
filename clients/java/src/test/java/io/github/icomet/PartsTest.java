package io.github.icomet;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import java.io.IOException;
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
}
