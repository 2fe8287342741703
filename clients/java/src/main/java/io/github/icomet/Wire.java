package io.github.icomet;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/** The JSON of the protocol (docs/protocol.md). */
final class Wire {
    private Wire() {}

    /** The messages of a body: one, or a list. */
    static List<JsonObject> messages(String body) throws IOException {
        List<JsonObject> messages = new ArrayList<JsonObject>();
        JsonElement parsed = parse(body);
        if (parsed.isJsonArray()) {
            for (JsonElement each : parsed.getAsJsonArray()) {
                messages.add(asObject(each));
            }
        } else {
            messages.add(asObject(parsed));
        }
        return messages;
    }

    static JsonObject object(String text) throws IOException {
        return asObject(parse(text));
    }

    /** A member that is a text; empty where it is missing. */
    static String text(JsonObject object, String name) throws IOException {
        JsonElement member = object.get(name);
        if (member == null || member.isJsonNull()) {
            return "";
        }
        if (!member.isJsonPrimitive()) {
            throw new IOException("the server's " + name + " is no text");
        }
        return member.getAsString();
    }

    /** A member that is a whole number; 0 where it is missing. */
    static long number(JsonObject object, String name) throws IOException {
        String text = text(object, name);
        try {
            return text.isEmpty() ? 0 : Long.parseLong(text);
        } catch (NumberFormatException bad) {
            throw new IOException("the server's " + name + " is no whole number", bad);
        }
    }

    // The static methods that Gson has instead came with 2.8.6.
    @SuppressWarnings("deprecation")
    private static JsonElement parse(String text) throws IOException {
        try {
            return new JsonParser().parse(text);
        } catch (JsonParseException bad) {
            throw new IOException("the server's answer is no JSON", bad);
        }
    }

    private static JsonObject asObject(JsonElement element) throws IOException {
        if (!element.isJsonObject()) {
            throw new IOException("the server's message is no JSON object");
        }
        return element.getAsJsonObject();
    }
}
