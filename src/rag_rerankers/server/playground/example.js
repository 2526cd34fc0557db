/** What the page can show before anybody has typed. */

export const QUESTION = "How do honey bees keep their hive warm in winter?";

export const PASSAGES = [
  "Beekeepers often feed their colonies sugar syrup in autumn, so that they have stores for the cold months.",
  "A honey bee queen can lay up to two thousand eggs a day in early summer, when flowers are plentiful.",
  "Bumble bee colonies die in autumn; only the young queens survive, each alone in a hole in the ground.",
  "In cold weather the bees crowd together into a tight ball, the winter cluster, and shiver with their flight muscles; the heat of their bodies keeps the middle above 25 degrees.",
  "On hot days worker bees bring water into the hive and fan with their wings, and the evaporation cools the brood.",
  "The beehive is also the name of a tall hairstyle that was popular in the 1960s.",
  "Those on the outside of the cluster form an insulating mantle; they change places with the warmer ones inside, and the colony burns up to 20 kilograms of honey until spring.",
  "Houses in cold climates are kept warm by insulation, double glazing and central heating.",
];
