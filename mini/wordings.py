"""How people ask for each edit: wordings for training, and others held out for the evaluation.

{whose} is her, his or the; {them} and {they} go with it. {old} is what the picture shows before
the edit, {new} what it shows after it, {it} an object.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Wordings:
    trained: tuple[str, ...]
    held_out: tuple[str, ...]


HAIR_COLOR = Wordings(
    (
        "make {whose} hair {new}",
        "change {whose} hair color to {new}",
        "change the hair color from {old} to {new}",
        "hair color: {new}",
        "dye {whose} hair {new}",
        "color {whose} hair {new}",
        "give {them} {new} hair",
        "{new} hair",
        "what if {they} had {new} hair?",
        "{they} should have {new} hair",
        "turn the {old} hair {new}",
        "I want {whose} hair to be {new}",
        "paint {whose} hair {new}",
        "change {whose} hair to {new}",
        "make the {old} hair {new}",
    ),
    (
        "turn {whose} hair {new}",
        "let {them} have {new} hair",
        "dye the hair from {old} to {new}",
        "make {whose} hair color {new}",
    ),
)

# {new} with its article: short hair, a bun.
HAIR_STYLE = Wordings(
    (
        "give {them} {new}",
        "make {whose} hair {new}",
        "change {whose} hairstyle to {new}",
        "change the hairstyle from {old} to {new}",
        "hairstyle: {new}",
        "what if {they} had {new}?",
        "{they} should have {new}",
        "turn {whose} hair into {new}",
        "replace the {old} with {new}",
        "I want {them} to have {new}",
        "change {whose} haircut to {new}",
        "put {whose} hair in {new}",
        "style {whose} hair as {new}",
        "with {new}",
    ),
    ("let {them} have {new}", "change the hair to {new}", "give {whose} hair {new}"),
)
BALD = Wordings(
    (
        "make {them} bald",
        "shave {whose} head",
        "remove {whose} hair",
        "remove the hair",
        "{they} should be bald",
        "what if {they} were bald?",
        "give {them} a bald head",
        "no hair",
        "bald",
        "turn {them} bald",
        "cut off all {whose} hair",
        "hairstyle: bald",
        "I want {them} to be bald",
    ),
    ("let {them} be bald", "change the hairstyle to bald", "I want a bald head"),
)

# {new} is a garment with or without a color, {old} the garment that is worn.
CLOTHES = Wordings(
    (
        "put on a {new}",
        "wear a {new}",
        "make {them} wear a {new}",
        "put {them} in a {new}",
        "change {whose} clothes to a {new}",
        "change the clothes to a {new}",
        "clothes: {new}",
        "outfit: {new}",
        "replace the {old} with a {new}",
        "swap {whose} {old} for a {new}",
        "turn the {old} into a {new}",
        "dress {them} in a {new}",
        "give {them} a {new}",
        "what if {they} wore a {new}?",
        "try on a {new}",
        "{they} should wear a {new}",
    ),
    (
        "change the {old} to a {new}",
        "have {them} wear a {new}",
        "change {whose} outfit to a {new}",
        "put a {new} on {them}",
    ),
)

# {new} is a color, {old} the garment that is worn or a word for any.
RECOLOR = Wordings(
    (
        "make {whose} {old} {new}",
        "make the {old} {new}",
        "change {whose} {old} to {new}",
        "change the color of the {old} to {new}",
        "{old} color: {new}",
        "dye the {old} {new}",
        "color {whose} {old} {new}",
        "turn the {old} {new}",
        "paint the {old} {new}",
        "I want the {old} to be {new}",
        "what if {whose} {old} were {new}?",
        "give {them} a {new} {old}",
    ),
    (
        "let the {old} be {new}",
        "change the {old} color to {new}",
        "make the color of the {old} {new}",
    ),
)

# Glasses and hats. {new} with its article, {old} without.
PUT_ON = Wordings(
    (
        "put {new} on {them}",
        "give {them} {new}",
        "add {new}",
        "make {them} wear {new}",
        "{they} should wear {new}",
        "wear {new}",
        "put on {new}",
        "what if {they} wore {new}?",
        "with {new}",
        "let {them} try on {new}",
        "I want {them} to wear {new}",
        "{they} is wearing {new}",
    ),
    ("have {them} wear {new}", "let {them} wear {new}", "put {them} in {new}"),
)
TAKE_OFF = Wordings(
    (
        "remove the {old}",
        "take off the {old}",
        "take off {whose} {old}",
        "remove {whose} {old}",
        "no {old}",
        "without {old}",
        "without the {old}",
        "get rid of the {old}",
        "delete the {old}",
        "take {whose} {old} off",
        "{they} should not wear the {old}",
        "what if {they} had no {old}?",
    ),
    ("get {whose} {old} off", "what if there were no {old}?", "I want no {old}"),
)

BEARD = Wordings(
    (
        "give {them} {new}",
        "add {new}",
        "let {them} grow {new}",
        "grow {new}",
        "{they} should have {new}",
        "what if {they} had {new}?",
        "put {new} on {whose} face",
        "with {new}",
        "I want {them} to have {new}",
        "make {them} grow {new}",
        "{they} has {new}",
        "draw {new} on the face",
    ),
    ("let {them} have {new}", "add {new} to {whose} face", "make {them} have {new}"),
)
SHAVE = Wordings(
    (
        "shave {whose} {old}",
        "shave off the {old}",
        "remove the {old}",
        "remove {whose} {old}",
        "no {old}",
        "without {old}",
        "without the {old}",
        "get rid of the {old}",
        "shave {them}",
        "make {them} shave",
        "{they} should be shaved",
        "delete the {old}",
    ),
    ("get the {old} off", "let {them} shave", "I want no {old}"),
)

LIPS = Wordings(
    (
        "put on {new} lipstick",
        "put {new} lipstick on {them}",
        "give {them} {new} lips",
        "make {whose} lips {new}",
        "add {new} lipstick",
        "{new} lipstick",
        "paint {whose} lips {new}",
        "{they} should wear {new} lipstick",
        "make {them} wear {new} lipstick",
        "change the color of {whose} lips to {new}",
        "what if {they} wore {new} lipstick?",
        "color the lips {new}",
        "lipstick color: {new}",
    ),
    ("turn {whose} lips {new}", "let {them} wear {new} lipstick", "give {them} {new} lipstick"),
)
EYE_SHADOW = Wordings(
    (
        "put on {new} eye shadow",
        "put {new} eye shadow on {them}",
        "give {them} {new} eye shadow",
        "add {new} eye shadow",
        "{new} eye shadow",
        "make {whose} eye shadow {new}",
        "{they} should wear {new} eye shadow",
        "make {them} wear {new} eye shadow",
        "paint {whose} eyelids {new}",
        "color the eyelids {new}",
        "what if {they} wore {new} eye shadow?",
        "eye shadow color: {new}",
    ),
    ("turn {whose} eyelids {new}", "let {them} wear {new} eye shadow", "with {new} eye shadow"),
)

# {new} is a place with its article.
BACKGROUND = Wordings(
    (
        "change the background to {new}",
        "make the background {new}",
        "background: {new}",
        "put {them} in front of {new}",
        "move {them} to {new}",
        "replace the background with {new}",
        "turn the background into {new}",
        "take {them} to {new}",
        "what if {they} were at {new}?",
        "{they} should stand in front of {new}",
        "place {them} in {new}",
        "I want {new} in the background",
        "with {new} behind {them}",
        "swap the background for {new}",
    ),
    ("put {new} behind {them}", "let the background be {new}", "put {them} in {new}"),
)

WEATHER = Wordings(
    (
        "change the weather from {old} to {new}",
        "change weather from {old} to {new}",
        "change the weather to {new}",
        "make it {new}",
        "make the weather {new}",
        "weather: {new}",
        "turn it into a {new} day",
        "what if it were {new}?",
        "it should be {new}",
        "a {new} day",
        "turn the {old} day into a {new} one",
        "I want {new} weather",
        "give it {new} weather",
    ),
    (
        "turn the weather from {old} to {new}",
        "make it a {new} day",
        "change it to {new} weather",
    ),
)
# Said of one weather only.
WEATHER_VERBS: dict[str, Wordings] = {
    "sunny": Wordings(
        ("make the sun shine", "let the sun shine", "bring out the sun", "clear the sky"),
        ("let the sun come out",),
    ),
    "cloudy": Wordings(
        ("add clouds", "cover the sky with clouds", "fill the sky with clouds", "overcast"),
        ("let clouds cover the sky",),
    ),
    "rainy": Wordings(
        ("make it rain", "let it rain", "add rain", "it is raining", "start the rain"),
        ("let there be rain",),
    ),
    "snowy": Wordings(
        ("make it snow", "let it snow", "add snow", "it is snowing", "cover it with snow"),
        ("let there be snow",),
    ),
    "foggy": Wordings(
        ("add fog", "make it misty", "let there be fog", "cover it with fog"),
        ("bring out the fog",),
    ),
    "stormy": Wordings(
        ("add a storm", "add lightning", "let there be a storm", "a thunderstorm", "make it storm"),
        ("let there be lightning",),
    ),
}

SEASON = Wordings(
    (
        "make it {new}",
        "change the season to {new}",
        "change the season from {old} to {new}",
        "change {old} to {new}",
        "season: {new}",
        "what if it were {new}?",
        "turn {old} into {new}",
        "turn it into {new}",
        "it should be {new}",
        "in {new}",
        "as if it were {new}",
        "show it in {new}",
        "a {new} day",
    ),
    ("turn the season from {old} to {new}", "let it be {new}", "make the season {new}"),
)
TIME = Wordings(
    (
        "make it {new}",
        "change the time of day to {new}",
        "change the time from {old} to {new}",
        "time of day: {new}",
        "what if it were {new}?",
        "turn {old} into {new}",
        "turn it into {new}",
        "it should be {new}",
        "at {new}",
        "as if it were {new}",
        "show it at {new}",
        "change it to {new}",
    ),
    ("let it be {new}", "turn the time of day to {new}", "make the time of day {new}"),
)

# {new} is a noun, {it} the object with its article or "it".
MATERIAL = Wordings(
    (
        "turn {it} into {new}",
        "make {it} out of {new}",
        "make {it} {new}",
        "change the material to {new}",
        "change the material of {it} to {new}",
        "material: {new}",
        "what if {it} were made of {new}?",
        "{it} should be made of {new}",
        "as if {it} were {new}",
        "{it} made of {new}",
        "I want {it} in {new}",
        "replace {it} with one of {new}",
        "cast {it} in {new}",
    ),
    ("let {it} be made of {new}", "change {it} into {new}", "turn the material into {new}"),
)

# Flowers, rainbows and the like. {new} with its article, {old} without.
ADD = Wordings(
    (
        "add {new}",
        "add {new} {place}",
        "put {new} {place}",
        "draw {new} {place}",
        "give it {new}",
        "show {new}",
        "with {new}",
        "there should be {new}",
        "there should be {new} {place}",
        "what if there were {new}?",
        "I want {new} {place}",
        "place {new} {place}",
    ),
    ("let there be {new}", "what if there were {new} {place}?", "give it {new} {place}"),
)
REMOVE = Wordings(
    (
        "remove the {old}",
        "remove the {old} {from_place}",
        "take the {old} away",
        "take away the {old}",
        "no {old}",
        "without {old}",
        "without the {old}",
        "get rid of the {old}",
        "delete the {old}",
        "erase the {old}",
        "there should be no {old}",
        "what if there were no {old}?",
    ),
    ("I want no {old}", "let there be no {old}", "take the {old} away {from_place}"),
)

# {new} with its article: a mosaic, an oil painting.
MEDIUM = Wordings(
    (
        "turn it into {new}",
        "make it {new}",
        "convert it to {new}",
        "make it look like {new}",
        "as {new}",
        "change it to {new}",
        "redraw it as {new}",
        "in the style of {new}",
        "what if it were {new}?",
        "show it as {new}",
        "turn the picture into {new}",
        "it should be {new}",
        "art medium: {new}",
    ),
    ("let it be {new}", "make the picture {new}", "convert the picture to {new}"),
)

NOTHING = Wordings(
    (
        "do nothing",
        "change nothing",
        "no change",
        "keep it as it is",
        "keep everything the same",
        "leave it as it is",
        "leave the picture alone",
        "the same picture",
        "don't change anything",
        "nothing",
        "stay the same",
        "do not edit the picture",
    ),
    ("leave everything the same", "do not change the picture"),
)
