// Letters of 5 x 7 pixels for the numbers and names in drawn curves.
#pragma once

#include <cstdint>

namespace sumi::train {

inline constexpr int kGlyphWidth = 5, kGlyphHeight = 7;

// Whether a pixel of a character is ink: column from the left, row from the top. What has no shape here (all but
// ASCII's letters, digits and some signs) is a frame; a blank has no ink.
bool glyph_has_ink(char character, int column, int row);

// Pixels that the character hangs below the line.
int glyph_descent(char character);

}  // namespace sumi::train
