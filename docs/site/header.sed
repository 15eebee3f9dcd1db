# Headers as Doxygen 1.9.4 can read them.
# The first line of a header says what it has.
1s#^// (.*)$#/** \1 @file */#
s/namespace rotary::inline ROTARY_ABI/namespace rotary/
# Constraints: the concepts that remain in template parameters say most of it.
s/^( *)requires\(.*\) (\[\[nodiscard\]\]|static|explicit|auto|void)/\1\2/
s/^( *)requires\(.*\)$/\1/
s/\[\[(nodiscard|likely|unlikely|noreturn|maybe_unused)\]\] ?//g
