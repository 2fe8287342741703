package IcometTest::Conn;

# One client connection: sends requests, reads responses piece by piece, undoes chunking. Several can be
# open at once in one test, so that subscribers and publishers need no process of their own.

use strict;
use warnings;

use Carp qw(croak);
use Errno qw(EINTR);
use IO::Socket::INET;
use Time::HiRes qw(time);

# Generous: nginx may run under valgrind on a busy machine. Nothing waits that long when all is well.
our $DEADLINE = $ENV{ICOMET_TEST_DEADLINE} || 60;

sub new {
    my ($class, $port) = @_;
    my $end = time + $DEADLINE;
    my $socket;
    # nginx may not listen yet (valgrind starts slowly).
    until ($socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp')) {
        croak "cannot connect to port $port: $!" if time > $end;
        select undef, undef, undef, 0.05;
    }
    $socket->autoflush(1);
    return bless { socket => $socket, raw => '', body => '', method => 'GET' }, $class;
}

# Sends a request. Options: headers (array of lines), body, type, version, close.
sub request {
    my ($self, $method, $uri, %o) = @_;
    my $version = $o{version} || '1.1';
    my @lines = ("$method $uri HTTP/$version");
    push @lines, 'Host: localhost';
    push @lines, 'Connection: close' if $o{close};
    push @lines, @{ $o{headers} } if $o{headers};
    if (defined $o{body}) {
        push @lines, 'Content-Type: ' . ($o{type} || 'application/x-www-form-urlencoded');
        push @lines, 'Content-Length: ' . length $o{body};
    }
    my $text = join("\r\n", @lines) . "\r\n\r\n";
    $text .= $o{body} if defined $o{body};
    delete @$self{qw(status headers mode left complete)};
    $self->{method} = $method;
    $self->{body} = '';
    $self->write($text);
    return $self;
}

sub write {
    my ($self, $text) = @_;
    local $SIG{PIPE} = 'IGNORE';
    my $offset = 0;
    while ($offset < length $text) {
        my $n = syswrite $self->{socket}, $text, length($text) - $offset, $offset;
        next if !defined $n && $! == EINTR;
        last unless $n;    # a server may answer and close before it read all
        $offset += $n;
    }
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
        my $ready = $left > 0 ? select $set, undef, undef, $left : 0;
        next if $ready < 0 && $! == EINTR;
        croak "nothing came within $DEADLINE s; so far: " . $self->_state if $ready <= 0;
        my $n = sysread $self->{socket}, $self->{raw}, 65536, length $self->{raw};
        next if !defined $n && $! == EINTR;
        return $n;
    }
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

# The body up to and with the first match of a separator; what is left at the end of the response.
sub _until {
    my ($self, $separator) = @_;
    $self->head;
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
    $self->head;
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
sub leave { close $_[0]->{socket}; return }

sub reset {
    my ($self) = @_;
    setsockopt $self->{socket}, SOL_SOCKET, SO_LINGER, pack 'll', 1, 0;
    close $self->{socket};
    return;
}

# No more requests will follow, but the client still reads.
sub half_close { shutdown $_[0]->{socket}, 1; return }

1;
