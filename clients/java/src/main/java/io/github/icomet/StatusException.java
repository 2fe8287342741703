package io.github.icomet;

import java.io.IOException;

/** The server has answered with another HTTP status than 200. */
final class StatusException extends IOException {
    private static final long serialVersionUID = 1;

    final int status;

    StatusException(int status, String beginning) {
        super("HTTP status " + status + (beginning.isEmpty() ? "" : ": " + beginning));
        this.status = status;
    }
}
