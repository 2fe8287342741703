#!/usr/bin/env bash
# Checks what the documents say of files: tests, documents and scripts that they name are there, and no
# cell of the threat model is empty. Part of `make lint`.
#
# Backquotes in patterns are backquotes:
# shellcheck disable=SC2016
set -eu

cd "$(dirname "$0")/.."
failed=0

complain() {
    echo "$1" >&2
    failed=1
}

# Test files in backquotes, wherever a document names them.
while IFS=: read -r document name; do
    [ -e "$name" ] || complain "$document names $name, which is not there"
done < <(grep -oE '`(t|engine/tests|script|bench|harness/src|docs)/[A-Za-z0-9_./-]+\.(t|rs|js|sh|py|pl|md)`' README.md docs/*.md | tr -d '`' | sort -u)

# Links to other documents.
while IFS=: read -r document link; do
    file=${link%%#*}
    from=$(dirname "$document")
    if [ -n "$file" ] && [ ! -e "$from/$file" ]; then
        complain "$document links to $file, which is not there"
    fi
done < <(grep -oE '\]\([A-Za-z0-9_./#-]+\)' README.md docs/*.md | sed -E 's/\]\((.*)\)/\1/' | sort -u)

# A row begins and ends with a bar: two bars with nothing between them are an empty cell.
if grep -nE '^\|.*\| *\|' docs/security.md >&2; then
    complain 'docs/security.md has an empty cell'
fi

# The numbers of tests of a suite: `t/x.t` 3, 4 – 6.
while read -r name numbers; do
    for number in $(echo "$numbers" | grep -oE '[0-9]+'); do
        grep -q "^=== TEST $number:" "$name" 2>/dev/null || complain "docs/security.md names test $number of $name"
    done
done < <(grep -oE '`t/[a-z0-9_]+\.t` [0-9]+((, | – )[0-9]+)*' docs/security.md | tr -d '`' | sort -u)

exit $failed
