package IcometTest::Socket;

# A WebSocket client that can also do what none should: it writes frames as they are asked for, and reads the
# server's byte for byte.

use strict;
use warnings;

use Carp qw(croak);
use IcometTest::Conn;

use constant KEY => 'dGhlIHNhbXBsZSBub25jZQ==';
use constant ACCEPT => 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

# The header fields that open a connection.
sub fields {
    my (%o) = @_;
    my %fields = (
        Upgrade => 'websocket',
        Connection => 'Upgrade',
        'Sec-WebSocket-Version' => 13,
        'Sec-WebSocket-Key' => KEY,
        %o,
    );
    return [map { "$_: $fields{$_}" } grep { defined $fields{$_} } sort keys %fields];
}

# Opens a WebSocket over a connection; header fields beside the usual ones, or undef instead of one, and "early":
# bytes that are sent together with the request.
sub new {
    my ($class, $conn, $uri, %o) = @_;
    my $early = delete $o{early} // '';
    my $lines = join "\r\n", "GET $uri HTTP/1.1", 'Host: localhost', @{ fields(%o) };
    $conn->next_answer('GET');
    $conn->write("$lines\r\n\r\n$early");
    return bless { conn => $conn }, $class;
}

sub conn { return $_[0]{conn} }

sub status { return $_[0]{conn}->head }

sub header { return $_[0]{conn}->header($_[1]) }

# A client's frame. First byte: FIN and opcode.
sub frame {
    my ($first, $payload, %o) = @_;
    $payload = "$payload";    # "^" below is of texts
    my $length = length $payload;
    my $bit = $o{bare} ? 0 : 0x80;
    my $head = pack 'C', $first;
    $head .= $length < 126 ? pack 'C', $bit | $length
           : $length < 65536 ? pack 'Cn', $bit | 126, $length
           : pack 'CQ>', $bit | 127, $length;
    return $head . $payload if $o{bare};
    my $mask = "\x07\x63\xc8\x01";
    return $head . $mask . ($payload ^ substr $mask x (1 + $length / 4), 0, $length);
}

sub send {
    my ($self, $first, $payload) = @_;
    $self->{conn}->write(frame($first, $payload // ''));
    return $self;
}

# The next frame: its first byte and its payload; nothing at the end of the connection.
sub next {
    my ($self) = @_;
    my $conn = $self->{conn};
    $conn->head;
    while (1) {
        my $raw = $conn->{raw};
        if (length $raw >= 2) {
            my ($first, $length) = unpack 'CC', $raw;
            croak 'a server masks nothing' if $length & 0x80;
            my $head = $length == 127 ? 10 : $length == 126 ? 4 : 2;
            if (length $raw >= $head) {
                $length = unpack 'x2n', $raw if $head == 4;
                $length = unpack 'x2Q>', $raw if $head == 10;
                if (length $raw >= $head + $length) {
                    my $frame = substr $conn->{raw}, 0, $head + $length, '';
                    return ($first, substr $frame, $head);
                }
            }
        }
        $conn->_fill or return;
    }
}

# The next frame as text: a message as it is, others as their kind and what they say.
sub said {
    my ($self) = @_;
    my ($first, $payload) = $self->next or return 'end';
    return $payload if $first == 0x81;
    return "compressed $payload" if $first == 0xc1;
    return "binary $payload" if $first == 0x82;
    return "ping $payload" if $first == 0x89;
    return "pong $payload" if $first == 0x8a;
    return 'close ' . (length $payload ? join ' ', grep { length } unpack 'n a*', $payload : '') if $first == 0x88;
    return sprintf 'frame %02x %s', $first, $payload;
}

1;
