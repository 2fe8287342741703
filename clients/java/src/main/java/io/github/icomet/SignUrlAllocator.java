package io.github.icomet;

import com.google.gson.JsonObject;
import java.io.IOException;

/** Takes channel and token from a URL of the back end that hands on what {@code sign} answered. */
final class SignUrlAllocator implements ChannelAllocator {
    private final String url;
    private final Transport transport;

    SignUrlAllocator(String url, Transport transport) {
        this.url = url;
        this.transport = transport;
    }

    @Override
    public Channel allocate(String name) throws IOException {
        String asked = url + (url.indexOf('?') < 0 ? "?" : "&") + "cname=" + Transport.encode(name);
        JsonObject answer = Wire.object(transport.get(asked).body);
        if (!"sign".equals(Wire.text(answer, "type"))) {
            throw new IOException("the sign URL answered no message of type sign");
        }
        String signed = Wire.text(answer, "cname");
        return new Channel(signed.isEmpty() ? name : signed, Wire.text(answer, "token"));
    }
}
