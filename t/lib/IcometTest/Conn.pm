package IcometTest::Conn;

# One client connection: sends requests, reads responses piece by piece, undoes chunking. Several can be
# open at once in one test, so that subscribers and publishers need no process of their own.

use strict;
use warnings;

use Carp qw(croak);
use Errno qw(EAGAIN EINTR);
use IO::Socket::INET;
use IO::Socket::IP;
use IO::Socket::UNIX;
use Time::HiRes qw(time);

# Generous: nginx may run under valgrind on a busy machine. Nothing waits that long when all is well.
our $DEADLINE = $ENV{ICOMET_TEST_DEADLINE} || 60;

# Options: tls: 1, or the protocol's version as IO::Socket::SSL names it; narrow: a receive buffer of about so many bytes, for a reader that is to fall behind;
# unix: the path of a socket instead of a port; ipv6: by ::1;
# from: the last number of a loopback address to come from.
sub new {
    my ($class, $port, %o) = @_;
    my $end = time + $DEADLINE;
    my $socket;
    # nginx may not listen yet (valgrind starts slowly).
    until ($socket = _connect($port, %o)) {
        croak "cannot connect to port $port: $!" if time > $end;
        select undef, undef, undef, 0.05;
    }
    $socket->autoflush(1);
    if ($o{tls}) {
        require IO::Socket::SSL;
        my @version = $o{tls} eq 1 ? () : (SSL_version => $o{tls});
        IO::Socket::SSL->start_SSL($socket, SSL_verify_mode => 0, Timeout => $DEADLINE, @version)
            or croak "no TLS on port $port: $IO::Socket::SSL::SSL_ERROR";
        # A record without data (a session ticket) must not keep a read waiting.
        $socket->blocking(0);
    }
    return bless { socket => $socket, raw => '', body => '', method => 'GET', sent => 0, received => 0 }, $class;
}

sub _connect {
    my ($port, %o) = @_;
    return IO::Socket::UNIX->new(Peer => $o{unix}) if defined $o{unix};
    return IO::Socket::IP->new(PeerHost => '::1', PeerPort => $port) if $o{ipv6};
    my $socket = IO::Socket::INET->new(Proto => 'tcp') or return;
    # Before it connects, so that no larger window is ever offered.
    setsockopt $socket, SOL_SOCKET, SO_RCVBUF, $o{narrow} if $o{narrow};
    bind $socket, pack_sockaddr_in(0, inet_aton("127.0.0.$o{from}")) or return if $o{from};
    return $socket->connect($port, INADDR_LOOPBACK) ? $socket : undef;
}

# Sends a request. Options: headers (array of lines), body, type, version, close, host.
sub request {
    my ($self, $method, $uri, %o) = @_;
    my $version = $o{version} || '1.1';
    my @lines = ("$method $uri HTTP/$version");
    push @lines, 'Host: ' . ($o{host} // 'localhost');
    push @lines, 'Connection: close' if $o{close};
    push @lines, @{ $o{headers} } if $o{headers};
    if (defined $o{body}) {
        push @lines, 'Content-Type: ' . ($o{type} || 'application/x-www-form-urlencoded');
        push @lines, 'Content-Length: ' . length $o{body};
    }
    my $text = join("\r\n", @lines) . "\r\n\r\n";
    $text .= $o{body} if defined $o{body};
    $self->next_answer($method);
    $self->write($text);
    return $self;
}

# What is read from here on is the answer to another request, which was sent already.
sub next_answer {
    my ($self, $method) = @_;
    delete @$self{qw(status headers mode left complete begun retry)};
    $self->{method} = $method || 'GET';
    $self->{body} = '';
    return $self;
}

sub write {
    my ($self, $text) = @_;
    local $SIG{PIPE} = 'IGNORE';
    my $offset = 0;
    while ($offset < length $text) {
        my $n = syswrite $self->{socket}, $text, length($text) - $offset, $offset;
        next if !defined $n && ($! == EINTR || $! == EAGAIN);
        last unless $n;    # a server may answer and close before it read all
        $offset += $n;
    }
    $self->{sent} += $offset;
    return;
}

# More bytes from the socket; false at its end.
sub _fill {
    my ($self) = @_;
    my $end = time + $DEADLINE;
    while (1) {
        my $set = '';
        vec($set, fileno $self->{socket}, 1) = 1;
        my $left = $end - time;
        # What TLS has decrypted already, select does not see.
        my $pending = $self->{socket}->can('pending') && $self->{socket}->pending;
        my $ready = $pending ? 1 : $left > 0 ? select $set, undef, undef, $left : 0;
        next if $ready < 0 && $! == EINTR;
        croak "nothing came within $DEADLINE s; so far: " . $self->_state if $ready <= 0;
        my $n = sysread $self->{socket}, $self->{raw}, 65536, length $self->{raw};
        next if !defined $n && ($! == EINTR || $! == EAGAIN);
        $self->{received} += $n if $n;
        return $n;
    }
}

# Whether something can be read now: bytes, or the end.
sub readable {
    my ($self) = @_;
    my $set = '';
    vec($set, fileno $self->{socket}, 1) = 1;
    return length $self->{raw} || select($set, undef, undef, 0) > 0;
}

sub _state {
    my ($self) = @_;
    my $status = $self->{status} // 'no status';
    return "$status, body \"" . substr($self->{body} // '', 0, 500) . "\", raw \"" . substr($self->{raw}, 0, 500) . '"';
}

# Waits for the response's head; returns the status.
sub head {
    my ($self) = @_;
    return $self->{status} if defined $self->{status};
    until ($self->{raw} =~ /\r\n\r\n/) {
        $self->_fill or croak 'the connection ended before a response: ' . $self->_state;
    }
    my ($head, $rest) = split /\r\n\r\n/, $self->{raw}, 2;
    $self->{raw} = $rest;
    $self->{head_length} = 4 + length $head;
    my ($line, @fields) = split /\r\n/, $head;
    $line =~ m{^HTTP/1\.[01] (\d{3})\b} or croak "no status line: $line";
    $self->{status} = $1;
    my %headers;
    for (@fields) {
        my ($name, $value) = split /:\s*/, $_, 2;
        $name = lc $name;
        $headers{$name} = defined $headers{$name} ? "$headers{$name}, $value" : $value;
    }
    $self->{headers} = \%headers;
    my $bare = $self->{method} eq 'HEAD' || $self->{status} =~ /^(?:204|304)$/;
    $self->{mode} =
          $bare                                                ? 'none'
        : ($headers{'transfer-encoding'} // '') eq 'chunked'   ? 'chunked'
        : defined $headers{'content-length'}                   ? 'length'
        :                                                        'close';
    $self->{left} = $self->{mode} eq 'length' ? $headers{'content-length'} : 0;
    $self->{complete} = 1 if $bare;
    return $self->{status};
}

sub header {
    my ($self, $name) = @_;
    $self->head;
    return $self->{headers}{ lc $name };
}

# Moves what came from raw to body; false when nothing is to come any more.
sub _more {
    my ($self) = @_;
    $self->head;
    return 0 if $self->{complete} || $self->{cut};
    my $before = length $self->{body};
    while (1) {
        $self->_decode;
        return 1 if length $self->{body} > $before;
        return 0 if $self->{complete};
        next if $self->_fill;
        if ($self->{mode} eq 'close') { $self->{complete} = 1 }
        else                          { $self->{cut} = 1 }
        return 0;
    }
}

sub _decode {
    my ($self) = @_;
    if ($self->{mode} eq 'close') {
        $self->{body} .= $self->{raw};
        $self->{raw} = '';
    }
    elsif ($self->{mode} eq 'length') {
        my $part = substr $self->{raw}, 0, $self->{left}, '';
        $self->{left} -= length $part;
        $self->{body} .= $part;
        $self->{complete} = 1 if $self->{left} == 0;
    }
    else {
        while ($self->{raw} =~ /^([0-9a-fA-F]+)\r\n/) {
            my ($head, $size) = (length $&, hex $1);
            return if length $self->{raw} < $head + $size + 2;
            $self->{body} .= substr $self->{raw}, $head, $size;
            substr $self->{raw}, 0, $head + $size + 2, '';
            if ($size == 0) {
                $self->{complete} = 1;
                return;
            }
        }
    }
    return;
}

# An SSE body begins with the time after which a browser comes back, which is another each time: it is taken off what
# is read, and kept in {retry}. A body that is nothing else stays.
sub _begin {
    my ($self) = @_;
    return if $self->{begun}++ || ($self->header('Content-Type') // '') !~ m{^text/event-stream};
    1 while $self->{body} !~ /\n/ && $self->_more;
    return if $self->{complete} && $self->{body} =~ /\Aretry: \d+\n\z/;
    $self->{retry} = $1 if $self->{body} =~ s/\Aretry: (\d+)\n//;
    return;
}

# The body up to and with the first match of a separator; what is left at the end of the response.
sub _until {
    my ($self, $separator) = @_;
    $self->_begin;
    while (1) {
        my $at = index $self->{body}, $separator;
        return substr $self->{body}, 0, $at + length $separator, '' if $at >= 0;
        next if $self->_more;
        my $rest = $self->{body};
        $self->{body} = '';
        return $rest;
    }
}

# The next line of the body, with its newline; empty at its end.
sub line { return $_[0]->_until("\n") }

# The next event of an SSE body, with its blank line; empty at its end.
sub event { return $_[0]->_until("\n\n") }

# The rest of the body, to the end of the response.
sub rest {
    my ($self) = @_;
    $self->_begin;
    1 while $self->_more;
    my $rest = $self->{body};
    $self->{body} = '';
    return $rest;
}

# Waits for the end: "complete" when the response ended as HTTP says, "cut" when the connection broke.
sub end {
    my ($self) = @_;
    1 while $self->_more;
    return $self->{complete} ? 'complete' : 'cut';
}

# Waits until the server closes the connection; returns what still came.
sub closed {
    my ($self) = @_;
    1 while $self->_fill;
    return $self->{raw};
}

# The client goes away without a word, or with a reset.
sub leave { $_[0]->_close; return }

sub _close {
    my ($self) = @_;
    my $socket = $self->{socket};
    return $socket->can('stop_SSL') ? $socket->close(SSL_no_shutdown => 1) : close $socket;
}

# A TLS client goes away as it should: it says so, and closes.
sub leave_tls { $_[0]->{socket}->close(SSL_fast_shutdown => 1); return }

sub reset {
    my ($self) = @_;
    setsockopt $self->{socket}, SOL_SOCKET, SO_LINGER, pack 'll', 1, 0;
    $self->_close;
    return;
}

# No more requests will follow, but the client still reads.
sub half_close { shutdown $_[0]->{socket}, 1; return }

1;
